# Kernel objects may define one external symbol each, their table. Any other, such as an inline function of a header,
# could be merged by the linker into code for every CPU, compiled with instructions that only some have.
foreach(object ${OBJECTS})
  execute_process(COMMAND ${NM} --extern-only --defined-only --format=posix ${object}
                  OUTPUT_VARIABLE symbols RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${NM} failed on ${object}")
  endif()
  string(STRIP "${symbols}" symbols)
  string(REPLACE "\n" ";" symbols "${symbols}")
  list(LENGTH symbols count)
  if(NOT count EQUAL 1 OR NOT symbols MATCHES "kKernels")
    message(FATAL_ERROR "${object} should define its table alone, but defines: ${symbols}")
  endif()
endforeach()
