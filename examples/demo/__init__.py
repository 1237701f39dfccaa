"""The whole product in five minutes: a served model, its traffic, three shifts, their alerts."""
