"""What users may do wrong with stores, copies and imports: a room a module, each with its CASES."""
