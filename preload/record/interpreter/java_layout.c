/* Where HotSpot keeps what is needed, as libjvm.so itself says it (share/runtime/vmStructs.hpp). */
#include <string.h>

#include "record/interpreter/java.h"

#define ENTRIES_MOST 8192u

enum kind { FIELD, STATIC, SIZE };

/* Of several rows with the same place the first that is there counts. */
static const struct wanted {
    const char *type, *field;
    uint16_t place; /* in struct java_layout */
    uint8_t kind;
    bool required;
} wanted[] = {
#define PLACE(member) (uint16_t) offsetof(struct java_layout, member)
    {"JavaThread", "_anchor", PLACE(thread_anchor), FIELD, true},
    {"JavaThread", "_osthread", PLACE(thread_os), FIELD, false},
    {"Thread", "_osthread", PLACE(thread_os), FIELD, true},
    {"JavaThread", "_stack_base", PLACE(thread_stack_base), FIELD, false},
    {"Thread", "_stack_base", PLACE(thread_stack_base), FIELD, true},
    {"JavaThread", "_stack_size", PLACE(thread_stack_size), FIELD, false},
    {"Thread", "_stack_size", PLACE(thread_stack_size), FIELD, true},
    {"JavaThread", "", PLACE(thread_bytes), SIZE, true},
    {"OSThread", "_pthread_id", PLACE(os_pthread), FIELD, true},
    {"OSThread", "_thread_id", PLACE(os_thread_id), FIELD, true},
    {"JavaFrameAnchor", "_last_Java_sp", PLACE(anchor_sp), FIELD, true},
    {"JavaFrameAnchor", "_last_Java_fp", PLACE(anchor_fp), FIELD, true},
    {"JavaFrameAnchor", "_last_Java_pc", PLACE(anchor_pc), FIELD, true},
    {"JavaCallWrapper", "_anchor", PLACE(wrapper_anchor), FIELD, true},
    {"GrowableArrayBase", "_len", PLACE(array_length), FIELD, false},
    {"GenericGrowableArray", "_len", PLACE(array_length), FIELD, true},
    {"GrowableArray<int>", "_data", PLACE(array_data), FIELD, true},
    {"CodeCache", "_heap", PLACE(heap), STATIC, false},
    {"CodeCache", "_heaps", PLACE(heaps), STATIC, false},
    {"CodeHeap", "_memory", PLACE(heap_memory), FIELD, true},
    {"CodeHeap", "_segmap", PLACE(heap_segments), FIELD, true},
    {"CodeHeap", "_log2_segment_size", PLACE(heap_log2), FIELD, true},
    {"VirtualSpace", "_low", PLACE(space_low), FIELD, true},
    {"VirtualSpace", "_high", PLACE(space_high), FIELD, true},
    {"HeapBlock::Header", "_used", PLACE(block_used), FIELD, true},
    {"HeapBlock", "", PLACE(block_bytes), SIZE, true},
    {"AbstractInterpreter", "_code", PLACE(interpreter), STATIC, true},
    {"StubQueue", "_stub_buffer", PLACE(stubs_start), FIELD, true},
    {"StubQueue", "_buffer_limit", PLACE(stubs_limit), FIELD, true},
    {"StubRoutines", "_call_stub_return_address", PLACE(call_stub_return), STATIC, true},
    {"CodeBlob", "_name", PLACE(blob_name), FIELD, true},
    {"CodeBlob", "_frame_size", PLACE(blob_frame_size), FIELD, true},
    {"CodeBlob", "_code_begin", PLACE(blob_code), FIELD, false},
    {"CodeBlob", "_code_offset", PLACE(blob_code_offset), FIELD, false},
    {"CodeBlob", "_mutable_data", PLACE(blob_mutable), FIELD, false},
    {"CodeBlob", "_mutable_data_size", PLACE(blob_mutable_size), FIELD, false},
    {"CodeBlob", "_relocation_size", PLACE(blob_relocation_size), FIELD, false},
    {"CompiledMethod", "_method", PLACE(compiled_method), FIELD, false},
    {"nmethod", "_method", PLACE(compiled_method), FIELD, true},
    {"nmethod", "_compile_id", PLACE(compiled_number), FIELD, true},
    {"nmethod", "_orig_pc_offset", PLACE(compiled_original_pc), FIELD, true},
    {"nmethod", "_immutable_data", PLACE(compiled_immutable), FIELD, false},
    {"nmethod", "_scopes_pcs_offset", PLACE(compiled_places), FIELD, true},
    {"nmethod", "_dependencies_offset", PLACE(compiled_places_end), FIELD, false},
    {"CompiledMethod", "_scopes_data_begin", PLACE(compiled_scopes), FIELD, false},
    {"nmethod", "_scopes_data_offset", PLACE(compiled_scopes_offset), FIELD, false},
    {"nmethod", "_metadata_offset", PLACE(compiled_metadata), FIELD, false},
    {"PcDesc", "_pc_offset", PLACE(place_offset), FIELD, true},
    {"PcDesc", "_scope_decode_offset", PLACE(place_scope), FIELD, true},
    {"PcDesc", "", PLACE(place_bytes), SIZE, true},
    {"Method", "_constMethod", PLACE(method_const), FIELD, true},
    {"ConstMethod", "_constants", PLACE(const_pool), FIELD, true},
    {"ConstMethod", "_flags", PLACE(const_flags), FIELD, false},
    {"ConstMethod", "_flags._flags", PLACE(const_flags), FIELD, true},
    {"ConstMethod", "_code_size", PLACE(const_code_size), FIELD, true},
    {"ConstMethod", "_name_index", PLACE(const_name), FIELD, true},
    {"ConstMethod", "", PLACE(const_bytes), SIZE, true},
    {"ConstantPool", "_tags", PLACE(pool_tags), FIELD, true},
    {"ConstantPool", "_pool_holder", PLACE(pool_holder), FIELD, true},
    {"ConstantPool", "_length", PLACE(pool_length), FIELD, true},
    {"ConstantPool", "_source_file_name_index", PLACE(pool_source), FIELD, false},
    {"ConstantPool", "", PLACE(pool_bytes), SIZE, true},
    {"Klass", "_name", PLACE(class_name), FIELD, true},
    {"InstanceKlass", "_source_file_name_index", PLACE(class_source), FIELD, false},
    {"Symbol", "_length", PLACE(symbol_length), FIELD, true},
    {"Symbol", "_body", PLACE(symbol_bytes), FIELD, true},
#undef PLACE
};
#define WANTED (sizeof wanted / sizeof *wanted)

/* One of the tables: an array of records, whose layout other exported variables tell. */
struct table {
    const uint8_t *entries;
    uint64_t stride;
};

static bool number_of(const struct image *module, const char *name, uint64_t *out) {
    const uint64_t *value = image_find_data(module, name);
    if (value) *out = *value;
    return value != NULL;
}

static bool table_of(struct table *t, const struct image *module, const char *name,
                     const char *stride) {
    const uint8_t *const *entries = image_find_data(module, name);
    if (!entries || !*entries || !number_of(module, stride, &t->stride)) return false;
    t->entries = *entries;
    return t->stride >= 16 && t->stride <= 256;
}

static const char *text_at(const uint8_t *entry, uint64_t offset) {
    const char *text;
    memcpy(&text, entry + offset, sizeof text);
    return text;
}

static void put(struct java_layout *l, const struct wanted *w, uint64_t value) {
    uint8_t *at = (uint8_t *)l + w->place;
    if (w->kind == STATIC) {
        if (*(uintptr_t *)(void *)at == 0) memcpy(at, &value, sizeof(uintptr_t));
    } else if (*(uint32_t *)(void *)at == JAVA_NOWHERE && value < 1u << 20) {
        *(uint32_t *)(void *)at = (uint32_t)value;
    }
}

static bool has(const struct java_layout *l, const struct wanted *w) {
    const uint8_t *at = (const uint8_t *)l + w->place;
    return w->kind == STATIC ? *(const uintptr_t *)(const void *)at != 0
                             : *(const uint32_t *)(const void *)at != JAVA_NOWHERE;
}

static bool read_structs(struct java *java, const struct image *module) {
    struct table t;
    uint64_t type, field, is_static, offset, address;
    if (!table_of(&t, module, "gHotSpotVMStructs", "gHotSpotVMStructEntryArrayStride") ||
        t.entries != java->structs ||
        !number_of(module, "gHotSpotVMStructEntryTypeNameOffset", &type) ||
        !number_of(module, "gHotSpotVMStructEntryFieldNameOffset", &field) ||
        !number_of(module, "gHotSpotVMStructEntryIsStaticOffset", &is_static) ||
        !number_of(module, "gHotSpotVMStructEntryOffsetOffset", &offset) ||
        !number_of(module, "gHotSpotVMStructEntryAddressOffset", &address))
        return false;
    const uint8_t *at = t.entries;
    for (unsigned n = 0; n < ENTRIES_MOST; n++, at += t.stride) {
        const char *type_name = text_at(at, type), *field_name = text_at(at, field);
        if (!type_name || !field_name) break;
        const bool fixed = *(const int32_t *)(const void *)(at + is_static) != 0;
        const uint64_t value = *(const uint64_t *)(const void *)(at + (fixed ? address : offset));
        if (fixed && strcmp(type_name, "JDK_Version") == 0 && strcmp(field_name, "_current") == 0)
            java->jdk = (const uint8_t *)value;
        if (fixed && strcmp(field_name, "_vm_major_version") == 0)
            java->hotspot = (const int32_t *)value;
        for (size_t i = 0; i < WANTED; i++)
            if (wanted[i].kind == (fixed ? STATIC : FIELD) &&
                strcmp(wanted[i].field, field_name) == 0 && strcmp(wanted[i].type, type_name) == 0)
                put(&java->layout, &wanted[i], value);
    }
    return true;
}

static bool read_types(struct java_layout *l, const struct image *module) {
    struct table t;
    uint64_t type, size;
    if (!table_of(&t, module, "gHotSpotVMTypes", "gHotSpotVMTypeEntryArrayStride") ||
        !number_of(module, "gHotSpotVMTypeEntryTypeNameOffset", &type) ||
        !number_of(module, "gHotSpotVMTypeEntrySizeOffset", &size))
        return false;
    const uint8_t *at = t.entries;
    for (unsigned n = 0; n < ENTRIES_MOST; n++, at += t.stride) {
        const char *type_name = text_at(at, type);
        if (!type_name) break;
        for (size_t i = 0; i < WANTED; i++)
            if (wanted[i].kind == SIZE && strcmp(wanted[i].type, type_name) == 0)
                put(l, &wanted[i], *(const uint64_t *)(const void *)(at + size));
    }
    return true;
}

/* Alternatives of which one must be there: several rows for one place are required by the last. */
static bool is_complete(const struct java_layout *l) {
    for (size_t i = 0; i < WANTED; i++)
        if (wanted[i].required && !has(l, &wanted[i])) return false;
    if (!l->heap && !l->heaps) return false;
    if (l->blob_code == JAVA_NOWHERE && l->blob_code_offset == JAVA_NOWHERE) return false;
    if (l->pool_source == JAVA_NOWHERE && l->class_source == JAVA_NOWHERE) return false;
    if (l->compiled_immutable != JAVA_NOWHERE) return l->compiled_scopes_offset != JAVA_NOWHERE;
    return l->compiled_places_end != JAVA_NOWHERE && l->compiled_metadata != JAVA_NOWHERE &&
           (l->compiled_scopes != JAVA_NOWHERE || l->compiled_scopes_offset != JAVA_NOWHERE);
}

static bool read_layout(struct java *java, const struct image *module) {
    memset(&java->layout, 0xff, sizeof java->layout);
    java->layout.heap = java->layout.heaps = java->layout.interpreter = 0;
    java->layout.call_stub_return = 0;
    if (!read_structs(java, module) || !read_types(&java->layout, module) ||
        !is_complete(&java->layout))
        return false;
    return java->hotspot != NULL; /* which number it is is known when the JVM runs */
}

/* Some 2,000 names are compared, so what was found is kept for the next look at the modules. */
bool java_find(struct java *java, const struct image *module, uintptr_t start, uintptr_t end) {
    static struct java kept;
    static uint32_t keeping;
    const uint8_t *const *structs = image_find_data(module, "gHotSpotVMStructs");
    if (!structs || !*structs) return false;
    const uint32_t state = __atomic_load_n(&keeping, __ATOMIC_ACQUIRE);
    if (state == 2 && kept.structs == *structs && kept.start == start) {
        *java = kept;
        return true;
    }
    *java = (struct java){.start = start, .end = end, .structs = *structs};
    void *created =
        image_find(module, "JNI_GetCreatedJavaVMs", image_hash("JNI_GetCreatedJavaVMs"));
    if (!created || !read_layout(java, module)) return false;
    memcpy(&java->created, &created, sizeof created);
    uint32_t nobody = 0;
    if (__atomic_compare_exchange_n(&keeping, &nobody, 1, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        kept = *java;
        __atomic_store_n(&keeping, 2, __ATOMIC_RELEASE);
    }
    return true;
}
