"""How one kind of catalogue is asked for and read; one module per vendor. Only processes data."""
