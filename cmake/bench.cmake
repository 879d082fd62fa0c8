# bench/gemm.c: what oneDNN itself reaches at the model's shapes, the roof of the benchmarks.
if(INOC_CPU)
  add_executable(bench_gemm EXCLUDE_FROM_ALL bench/gemm.c)
  target_link_libraries(bench_gemm PRIVATE dnnl OpenMP::OpenMP_C m)
  add_executable(bench_attn EXCLUDE_FROM_ALL bench/attn.c)
  target_link_libraries(bench_attn PRIVATE inoc_ops)
  target_include_directories(bench_attn PRIVATE src)
  # bench/decode.c: a step of decoding, in several dtypes
  add_executable(bench_decode EXCLUDE_FROM_ALL bench/decode.c)
  target_link_libraries(bench_decode PRIVATE inoc_model)
endif()
