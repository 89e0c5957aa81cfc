/* embed_guest.c: the guest of embed.c. A library for its host: no main, exports by name. */
#include <stdint.h>
#include <string.h>

__attribute__((import_module("host"), import_name("log"))) void host_log(const char *text,
                                                                         uint32_t len);

__attribute__((export_name("multiply"))) uint32_t multiply(uint32_t a, uint32_t b)
{
    static const char text[] = "multiplying";
    host_log(text, sizeof text - 1);
    return a * b;
}

__attribute__((export_name("wild"))) uint32_t wild(void)
{
    return *(volatile uint32_t *)0xfffffff0u;
}

__attribute__((export_name("forever"))) void forever(void)
{
    for (volatile uint32_t i = 0;; i++) {
    }
}
