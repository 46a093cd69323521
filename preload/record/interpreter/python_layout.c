/* Where CPython's versions keep what a stack is made of, and which of them a module is. */
#include "record/interpreter/python.h"

#include <string.h>

/* Measured with offsetof against the headers of 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0. */
static const struct python_layout layouts[] = {
    {.version = 0x0308,
     .thread_frame = 24,
     .thread_id = 176,
     .frame_code = 32,
     .frame_previous = 24,
     .frame_instruction = 104,
     .code_file = 104,
     .code_name = 112,
     .code_line = 40,
     .code_table = 120,
     .instruction_size = 1,
     .text_ascii = 48,
     .text_other = 72},
    {.version = 0x0309,
     .thread_frame = 24,
     .thread_id = 176,
     .frame_code = 32,
     .frame_previous = 24,
     .frame_instruction = 104,
     .code_file = 104,
     .code_name = 112,
     .code_line = 40,
     .code_table = 120,
     .instruction_size = 1,
     .text_ascii = 48,
     .text_other = 72},
    {.version = 0x030a,
     .thread_frame = 24,
     .thread_id = 176,
     .frame_code = 32,
     .frame_previous = 24,
     .frame_instruction = 96,
     .code_file = 104,
     .code_name = 112,
     .code_line = 40,
     .code_table = 120,
     .instruction_size = 2,
     .text_ascii = 48,
     .text_other = 72},
    {.version = 0x030b,
     .thread_frame = 56,
     .cframe_frame = 8,
     .by_cframe = true,
     .thread_id = 152,
     .frame_code = 32,
     .frame_previous = 48,
     .frame_instruction = 56,
     .frame_owner = 69,
     .code_file = 112,
     .code_name = 128,
     .code_line = 72,
     .code_table = 136,
     .code_instructions = 184,
     .code_first_traceable = 168,
     .text_ascii = 48,
     .text_other = 72},
    {.version = 0x030c,
     .thread_frame = 56,
     .cframe_frame = 0,
     .by_cframe = true,
     .thread_id = 136,
     .frame_code = 0,
     .frame_previous = 8,
     .frame_instruction = 56,
     .frame_owner = 70,
     .code_file = 112,
     .code_name = 128,
     .code_line = 68,
     .code_table = 136,
     .code_instructions = 192,
     .code_first_traceable = 176,
     .text_ascii = 40,
     .text_other = 56},
    {.version = 0x030d,
     .thread_frame = 72,
     .thread_id = 152,
     .frame_code = 0,
     .frame_previous = 8,
     .frame_instruction = 56,
     .frame_owner = 70,
     .code_file = 112,
     .code_name = 128,
     .code_line = 68,
     .code_table = 136,
     .code_instructions = 200,
     .code_first_traceable = 184,
     .text_ascii = 40,
     .text_other = 56},
};

static void *function(const struct image *module, const char *name) {
    return image_find(module, name, image_hash(name));
}

/* From 3.11 it says so itself; before, by what each brought. 0: none of those that are known. */
static unsigned version_of(const struct image *module) {
    const uint32_t *number = image_find_data(module, "Py_Version");
    if (number) return *number >> 16;
    if (function(module, "PyModule_AddObjectRef")) return 0x030a;
    if (function(module, "PyModule_AddType")) return 0x0309;
    return function(module, "PyCode_NewWithPosOnlyArgs") ? 0x0308 : 0;
}

bool python_find(struct python *python, const struct image *module) {
    const uintptr_t code_type = (uintptr_t)image_find_data(module, "PyCode_Type");
    if (!code_type) return false; /* as a rule: most modules are asked this alone */
    *python = (struct python){
        .code_type = code_type,
        .frame_type = (uintptr_t)image_find_data(module, "PyFrame_Type"),
        .text_type = (uintptr_t)image_find_data(module, "PyUnicode_Type"),
        .bytes_type = (uintptr_t)image_find_data(module, "PyBytes_Type"),
    };
    void *state = function(module, "PyGILState_GetThisThreadState");
    void *line = function(module, "PyCode_Addr2Line");
    if (!python->frame_type || !python->text_type || !python->bytes_type || !state || !line)
        return false;
    /* Without a GIL, nothing of this holds. */
    if (function(module, "_Py_DecRefShared")) return false;
    memcpy(&python->thread_state, &state, sizeof state);
    memcpy(&python->line_of, &line, sizeof line);
    const unsigned version = version_of(module);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].version == version) python->layout = layouts[i];
    return python->layout.version != 0;
}
