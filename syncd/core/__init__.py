"""Everything that is decided: values in, values out. Nothing here reads a clock, a socket or a file."""
