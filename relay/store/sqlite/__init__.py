"""The file underneath: one connection that writes, some that read, locks, journals, the disk."""
