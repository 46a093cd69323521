/* Says what the calls in the IFUNC resolver of the library gave. */
#include <stdio.h>

int early_choice(void);
int early_result(int n, int *error);

int main(void) {
    printf("%d\n", early_choice());
    for (int n = 0; n < 8; n++) {
        int error, result = early_result(n, &error);
        printf("%d %d\n", result, error);
    }
    return 0;
}
