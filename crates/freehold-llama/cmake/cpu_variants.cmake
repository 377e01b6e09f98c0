# Read by llama.cpp's build right after its project() call, through the
# CMAKE_PROJECT_INCLUDE variable that .cargo/config.toml sets.
#
# llama.cpp compiles its CPU kernels once per processor generation and picks the
# best set at run time. This file trims the list (each set costs about a minute
# of compile time) and works around a compiler fault in one of them.

# The libraries travel in one directory, so each finds the others beside itself.
set(CMAKE_INSTALL_RPATH "$ORIGIN")

# Every processor that could load one of these also loads a set that stays, with
# little lost: sse42 for the first two rows, skylakex and icelake for the others.
set(FREEHOLD_UNSHIPPED_VARIANTS
    sandybridge ivybridge
    piledriver
    cannonlake
    cooperlake)

# llama.cpp's own front-end code (argument parsing, templates, downloads) is not used.
set(LLAMA_BUILD_COMMON OFF)

set(FREEHOLD_EMPTY_SOURCE "${CMAKE_CURRENT_LIST_DIR}/no_kernels.c")

function(freehold_adjust_targets)
    # One plain file per library instead of a chain of versioned links: the files are
    # copied about, and only ever used with the program they were built for.
    foreach(library IN ITEMS llama ggml ggml-base)
        set_property(TARGET ${library} PROPERTY VERSION)
        set_property(TARGET ${library} PROPERTY SOVERSION)
    endforeach()

    foreach(tag IN LISTS FREEHOLD_UNSHIPPED_VARIANTS)
        if(TARGET ggml-cpu-${tag})
            set_property(TARGET ggml-cpu-${tag} PROPERTY SOURCES "${FREEHOLD_EMPTY_SOURCE}")
        endif()
    endforeach()

    # GCC declares that ldtilecfg reads 8 bytes where it reads 64, so it drops the
    # stores that fill the tile configuration, and AMX kernels crash.
    if(TARGET ggml-cpu-sapphirerapids AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        set_property(TARGET ggml-cpu-sapphirerapids APPEND PROPERTY
            COMPILE_OPTIONS -fno-dse -fno-tree-dse)
    endif()
endfunction()

if(PROJECT_NAME STREQUAL "llama.cpp")
    # The variants do not exist yet; run when the whole tree has been read.
    cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL freehold_adjust_targets)
endif()
