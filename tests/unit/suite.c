/* Runs a suite of Check as tests/run wants it: TAP on standard output, and a status. */
#include "tests/unit/suite.h"

int suite_run(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
