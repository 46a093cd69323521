/* The few lines on standard error at an orderly exit: counts only, no judgement. */
#ifndef RECORD_SUMMARY_H
#define RECORD_SUMMARY_H
/* Once per trace; quiet with summary=0 or when there was no HTTP. Uses raw writes only. */
void summary_print(void);
#endif
