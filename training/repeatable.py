"""What makes two fits of one seed, one log and one number of threads the same to the last bit."""


def repeatable(threads: int) -> None:
    """Give every library of this process `threads` threads, and torch its deterministic kernels.

    Sums are split by threads, so their number is part of what a fit is, whatever OMP_NUM_THREADS says. Torch's usual
    gradient of `x[rows]` adds with atomics in any order: 20 runs of one step gave 20 results, and slower ones.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Only an operation that reads what nobody wrote would need it, and it costs a pass over every new array.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
