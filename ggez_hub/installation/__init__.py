"""A check of the installation: what is there, what is not, and the way out.

    findings   what a check finds               packages   python, libraries, extras
    machine    devices and disks                hubs       the hub, the token, the embedded hub

Nothing heavy is imported: torch is asked for its devices in a process of its own.
"""
