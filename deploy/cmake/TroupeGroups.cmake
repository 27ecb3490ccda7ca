# Sources that are compiled together: what a source includes takes longer to
# read than the source itself.

# Off, each source is compiled by itself, which shows includes that it lacks.
option(TROUPE_GROUPS "Compile sources of one folder together" ON)

# troupe_group(TARGET SOURCE...): compiles about eight sources of one folder at
# once. Which ones go together follows from their names, not from their order:
# a new source joins one group and moves no other. So names without linkage
# have to differ within a folder.
function(troupe_group target)
  if(NOT TROUPE_GROUPS)
    return()
  endif()
  set_target_properties(${target} PROPERTIES
    UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # g++ warns of a fixture without linkage, as if an included file were a header.
  target_compile_options(${target} PRIVATE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  foreach(source ${ARGN})
    get_filename_component(folder ${source} DIRECTORY)
    list(APPEND sources_in_${folder} ${source})
  endforeach()
  foreach(source ${ARGN})
    get_filename_component(folder ${source} DIRECTORY)
    list(LENGTH sources_in_${folder} count)
    # Powers of two: where their number doubles, each is parted.
    set(groups 1)
    while(count GREATER 8)
      math(EXPR groups "${groups} * 2")
      math(EXPR count "(${count} + 1) / 2")
    endwhile()
    get_filename_component(name ${source} NAME)
    string(MD5 digest ${name})
    string(SUBSTRING ${digest} 0 4 digest)
    math(EXPR group "0x${digest} % ${groups}")
    get_filename_component(room ${folder} NAME)
    set_source_files_properties(${source} PROPERTIES
      UNITY_GROUP ${room}_${group})
  endforeach()
endfunction()
