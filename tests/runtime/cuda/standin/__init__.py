"""A `libcuda.so.1` of the tests' own, for what a device would refuse, without a device.

The real cuda-bindings load it in a process of its own (`worker`), so that our graphs, pools and copies go through the
very calls that a GPU gets. It works on host memory, runs our kernels as loops, and keeps the driver's rules:

- the current context, handles that were destroyed, sizes, and the containers of compiled code are checked;
- stream capture forbids what it forbids, and a graph replays what was recorded;
- no address is given out twice: access outside of an allocation, use after a release, and a second release are found;
- each piece of work has a vector clock: memory that two pieces touch, one of them writing, must be touched in an order
  that streams, events and waiting give. The device would not notice; here it is an unspecified launch failure;
- work runs as late as waiting allows ("late") or when it is put ("early"), so that a host which reads or overwrites
  page-locked memory too soon sees it.

Where NVIDIA's documentation leaves two readings, the stricter one is taken. It says nothing about speed, nor what a
compiler for GPUs makes of the kernels.
"""
