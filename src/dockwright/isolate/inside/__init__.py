"""What runs in and beside worlds: standard library only, no other module of dockwright."""
