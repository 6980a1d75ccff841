"""Contract suites, strategies and an encoder to check by hand. Shipped for tests; the library never imports it."""
