# Small programs that scripts under tools/ and the benchmarks run; not installed.
add_executable(dump_logits EXCLUDE_FROM_ALL tools/dump_logits.c)
target_link_libraries(dump_logits PRIVATE inoc_model)
# what a precision costs: the tables of docs/precision.md
add_executable(precision EXCLUDE_FROM_ALL tools/precision.c)
target_link_libraries(precision PRIVATE inoc_sample)
