# For builds against the ROS wheels of PyPI (cmake -DCMAKE_PROJECT_INCLUDE=<this file>).
#
# 1. The wheels' targets name include folders of the machine that built them: those are dropped.
# 2. Only what rclpy over Fast DDS loads is generated: nothing for C++ programs.
# 3. Generated files are compiled many at once, since their headers cost more than their bodies.
# Together the interfaces build about six times faster. A ROS installation never sees this file.

find_package(rosidl_default_generators REQUIRED)
list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "_cpp:")

function(_wm_wheels_prepare)
  get_directory_property(_imported IMPORTED_TARGETS)
  foreach(_target IN LISTS _imported)
    get_target_property(_folders ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT _folders)
      continue()
    endif()
    set(_kept "")
    foreach(_folder IN LISTS _folders)
      if(NOT _folder MATCHES "^/opt/python/" OR EXISTS "${_folder}")
        list(APPEND _kept "${_folder}")
      endif()
    endforeach()
    if(NOT _kept STREQUAL _folders)
      list(APPEND _kept ${Python3_INCLUDE_DIRS} ${Python3_NumPy_INCLUDE_DIRS})
      set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_kept}")
    endif()
  endforeach()

  foreach(_library rosidl_generator_c rosidl_generator_py rosidl_typesupport_c
      rosidl_typesupport_fastrtps_c rosidl_typesupport_introspection_c)
    set(_target ${PROJECT_NAME}__${_library})
    if(TARGET ${_target})
      set_target_properties(${_target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 24)
      # the descriptions define names of other types as static variables, so they stay alone
      get_target_property(_sources ${_target} SOURCES)
      list(FILTER _sources INCLUDE REGEX "__description\\.c$")
      set_source_files_properties(${_sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _wm_wheels_prepare)
