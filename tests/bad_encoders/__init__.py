"""Bad input to encoders, as tables: one file for a room, all of them run by test_bad_encoders.py."""
