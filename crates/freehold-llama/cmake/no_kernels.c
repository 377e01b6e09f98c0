/* Stands in for the sources of a CPU variant that freehold does not ship. */
extern const int freehold_no_kernels;
const int freehold_no_kernels = 0;
