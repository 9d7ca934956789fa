"""What dockwright costs and saves, measured against rivals and against what is possible at all."""
