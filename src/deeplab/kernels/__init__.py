"""Hot loops: numpy in, numpy out, compiled by numba, each beside a readable numpy reference."""
