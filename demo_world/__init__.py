"""The builder of the demo world: small models trained here, from material of package registries.

`python -m demo_world build --family F` builds a family. The package `ggez_hub` does not import it.
"""
