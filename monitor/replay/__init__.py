"""The served model, loaded again: tokenising, batching, and the tap that reads its attention."""
