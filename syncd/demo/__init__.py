"""A simulated vendor on loopback: for `syncd demo`, and for tests that need a server with manners or without."""
