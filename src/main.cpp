#include "x2ctpa/commands/command.h"

int main(int argc, char** argv) { return x2ctpa::run_program(argc, argv); }
