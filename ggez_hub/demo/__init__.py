"""The demo world: small models and data that are shipped with the package."""
