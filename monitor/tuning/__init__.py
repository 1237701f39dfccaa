"""What a log with known incidents tells of the settings: profiled once, judged under each of them."""
