"""What a test, a loop or a script holds: its mode, the capture, the golden, the comparator. Importing it imports no torch."""
