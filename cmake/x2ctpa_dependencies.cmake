# What the libraries are linked with, found by x2ctpa_require: find_package(... REQUIRED) in this
# project, find_dependency() in the installed package.
x2ctpa_require(LibTorch 2.11)
x2ctpa_require(OpenMP COMPONENTS CXX)
x2ctpa_require(ITK 5 COMPONENTS
  ITKCommon ITKIOImageBase ITKIONIFTI ITKIONRRD ITKIOMeta ITKIOTIFF ITKGDCM)
x2ctpa_require(JPEG)
x2ctpa_require(PNG)
x2ctpa_require(TIFF)
x2ctpa_require(ZLIB)
x2ctpa_require(spdlog)
x2ctpa_require(fmt)
x2ctpa_require(yaml-cpp)
x2ctpa_require(nlohmann_json)
x2ctpa_require(OpenSSL COMPONENTS Crypto)
x2ctpa_require(LibArchive)
# yaml-cpp before 0.8 exports the target without its name space.
if(NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()
