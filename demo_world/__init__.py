"""The demo world: small models that are trained here, from material that package registries ship.

`material` fetches pinned packages, `concepts` reads names and groups, `raster` and `pictures` make
the data sets, and each family has a package of its own that trains. `python -m demo_world build
--family F` runs one of them. Nothing outside the world knows it.
"""
