# serin_alloc_fail(TEST): lets the test refuse allocations (tests/support/alloc_fail.h).
function(serin_alloc_fail name)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/alloc_fail.c)
    target_link_options(${name} PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
endfunction()
