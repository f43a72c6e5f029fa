"""Finding a person everywhere, taking them out, and overwriting what the file keeps behind."""
