"""What the stages of Flashlight do: count, swap, hold against torch, walk, allocate, fuse, reduce, and time."""
