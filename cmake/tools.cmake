# Small programs that scripts under tools/ and the benchmarks run; not installed.
add_executable(dump_logits EXCLUDE_FROM_ALL tools/dump_logits.c)
target_link_libraries(dump_logits PRIVATE inoc_model)
