# serin_loop_play(TEST): the loop, peers and clock of tests/support/loop_play.h.
function(serin_loop_play name)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/loop_play.c)
    target_link_options(${name} PRIVATE -Wl,--wrap=uv_hrtime)
endfunction()
