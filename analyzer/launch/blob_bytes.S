/* The image that goes into static programs (see docs/architecture.md), as bytes of this program. */
    .section .rodata
    .balign 16
    .globl blob_bytes, blob_bytes_size
    .hidden blob_bytes, blob_bytes_size
blob_bytes:
    .incbin BLOB_FILE
1:
    .balign 8
blob_bytes_size:
    .quad 1b - blob_bytes
    .section .note.GNU-stack, "", @progbits
