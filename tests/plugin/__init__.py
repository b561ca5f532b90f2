"""The plugin as a user meets it: a small project, a command, what it prints and leaves."""
