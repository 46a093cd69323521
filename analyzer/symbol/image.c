/* Modules opened offline through libdwfl, checked against the build id that the recorder saw. */
#include "symbol/image.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "httpleak/trace.h"
#include "symbol/demangle.h"
#include "symbol/go_table.h"

struct image {
    Dwfl *dwfl;
    Dwfl_Module *module;
    GElf_Addr bias;      /* address for libdwfl = address in the file + bias */
    struct go_table *go; /* NULL: no Go program */
    const char *hint;
};

static const Dwfl_Callbacks image_callbacks_offline = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

const char *image_hint(const struct image *image) {
    return image->hint;
}

static void image_forget(struct image *image) {
    if (image->dwfl) dwfl_end(image->dwfl);
    image->dwfl = NULL;
    image->module = NULL;
}

/*
 * A path from a trace may name anything: only a regular file is opened, and a FIFO does not make us
 * wait.
 */
static int image_open_regular(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool image_same_build(struct image *image, const struct symbol_module *wanted) {
    if (wanted->build_id_size == 0) return true;
    const unsigned char *bits = NULL;
    GElf_Addr where = 0;
    int size = dwfl_module_build_id(image->module, &bits, &where);
    return size > 0 && (size_t)size == wanted->build_id_size &&
           memcmp(bits, wanted->build_id, (size_t)size) == 0;
}

/* Takes over fd. */
static bool image_report(struct image *image, const char *path, int fd) {
    image->dwfl = dwfl_begin(&image_callbacks_offline);
    if (!image->dwfl) {
        close(fd);
        return false;
    }
    image->module = dwfl_report_offline(image->dwfl, symbol_base_name(path), path, fd);
    if (!image->module) close(fd); /* libdwfl keeps the descriptor only when it took the file */
    if (!image->module || dwfl_report_end(image->dwfl, NULL, NULL) != 0) {
        image_forget(image);
        return false;
    }
    return true;
}

static bool image_try(struct image *image, const char *path, const struct symbol_module *wanted) {
    int fd = image_open_regular(path);
    if (fd < 0) {
        image->hint = "file is not there any more";
        return false;
    }
    if (!image_report(image, path, fd)) {
        image->hint = "not a readable ELF file";
        return false;
    }
    if (!image_same_build(image, wanted)) {
        image_forget(image);
        image->hint = "file has changed since: its build id differs";
        return false;
    }
    return true;
}

/*
 * The debug file that distributions install carries symbols and lines by itself, also when the
 * program is gone.
 */
static bool image_try_build_id(struct image *image, const struct symbol_module *wanted) {
    if (wanted->build_id_size < 2 || wanted->build_id_size > TRACE_BUILD_ID_MAX) return false;
    char path[64 + 2 * TRACE_BUILD_ID_MAX];
    int n = snprintf(path, sizeof path, "/usr/lib/debug/.build-id/%02x/", wanted->build_id[0]);
    for (size_t i = 1; i < wanted->build_id_size; i++)
        n += snprintf(path + n, sizeof path - (size_t)n, "%02x", wanted->build_id[i]);
    snprintf(path + n, sizeof path - (size_t)n, ".debug");
    const char *hint = image->hint;
    bool found = image_try(image, path, wanted);
    if (!found) image->hint = hint;
    return found;
}

/*
 * Nothing on this machine: let libdwfl ask the servers of DEBUGINFOD_URLS by build id (its find_elf
 * callback does).
 */
static bool image_try_debuginfod(struct image *image, const struct symbol_module *wanted) {
    if (wanted->build_id_size == 0) return false;
    const GElf_Addr start = 1ul << 40, size = 1ul << 36;
    image->dwfl = dwfl_begin(&image_callbacks_offline);
    if (!image->dwfl) return false;
    image->module =
        dwfl_report_module(image->dwfl, symbol_base_name(wanted->path), start, start + size);
    if (!image->module ||
        dwfl_module_report_build_id(image->module, wanted->build_id, wanted->build_id_size, 0) !=
            0 ||
        dwfl_report_end(image->dwfl, NULL, NULL) != 0 ||
        !dwfl_module_getelf(image->module, &image->bias)) {
        image_forget(image);
        return false;
    }
    return true;
}

struct image *image_open(const struct symbol_module *module, bool debuginfod) {
    struct image *image = calloc(1, sizeof *image);
    if (!image) return NULL;
    if (module->flags & TRACE_MODULE_VDSO || !module->path || module->path[0] != '/') {
        image->hint = "not a file";
        return image;
    }
    if (!image_try(image, module->path, module) && !image_try_build_id(image, module) &&
        !(debuginfod && image_try_debuginfod(image, module)))
        return image;
    image->hint = NULL;
    Elf *elf = dwfl_module_getelf(image->module, &image->bias);
    if (!elf) {
        image_forget(image);
        image->hint = "not a readable ELF file";
        return image;
    }
    size_t size = 0;
    const char *bytes = elf_rawfile(elf, &size);
    if (bytes) image->go = go_table_open((const uint8_t *)bytes, size);
    return image;
}

void image_close(struct image *image) {
    if (!image) return;
    go_table_close(image->go);
    image_forget(image);
    free(image);
}

static const char *image_language(Dwarf_Die *unit) {
    switch (dwarf_srclang(unit)) {
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11: return "c";
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14: return "c++";
    case DW_LANG_Rust: return "rust";
    case DW_LANG_Go: return "go";
    case DW_LANG_D: return "d";
    case DW_LANG_Swift: return "swift";
    case DW_LANG_Ada83:
    case DW_LANG_Ada95: return "ada";
    case DW_LANG_Pascal83: return "pascal";
    case DW_LANG_Fortran77:
    case DW_LANG_Fortran90:
    case DW_LANG_Fortran95:
    case DW_LANG_Fortran03:
    case DW_LANG_Fortran08: return "fortran";
    case DW_LANG_ObjC: return "objective-c";
    case DW_LANG_ObjC_plus_plus: return "objective-c++";
    case DW_LANG_Mips_Assembler: return "assembler";
    default: return NULL;
    }
}

/*
 * Out of line and inlined copies refer to the abstract function, that one to its declaration in the
 * class.
 */
static void image_declaration(Dwarf_Die *die) {
    static const unsigned int links[] = {DW_AT_abstract_origin, DW_AT_specification};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        Dwarf_Attribute attribute;
        Dwarf_Die target;
        if (dwarf_attr(die, links[i], &attribute) && dwarf_formref_die(&attribute, &target))
            *die = target;
    }
}

/*
 * "space::Class::method": the names around a declaration. A linkage name would add return types and
 * parameters.
 */
static char *image_function_name(const Dwarf_Die *function) {
    Dwarf_Die die = *function, *scopes = NULL;
    image_declaration(&die);
    const char *name = dwarf_diename(&die);
    char *qualified = name ? strdup(name) : NULL;
    int count = qualified ? dwarf_getscopes_die(&die, &scopes) : 0;
    for (int i = 1; i < count && qualified; i++) {
        int tag = dwarf_tag(&scopes[i]);
        if (tag != DW_TAG_namespace && tag != DW_TAG_class_type && tag != DW_TAG_structure_type &&
            tag != DW_TAG_union_type && tag != DW_TAG_subprogram)
            continue;
        const char *scope = dwarf_diename(&scopes[i]);
        if (!scope) scope = tag == DW_TAG_namespace ? "(anonymous namespace)" : "(anonymous)";
        char *longer = NULL;
        if (asprintf(&longer, "%s::%s", scope, qualified) < 0) break;
        free(qualified);
        qualified = longer;
    }
    free(scopes);
    return qualified;
}

/* Compilers write file names relative to the directory they ran in. */
static char *image_source_path(const char *file, const char *directory) {
    char *path = NULL;
    if (!file) return NULL;
    if (file[0] == '/' || !directory || !directory[0]) return strdup(file);
    if (strncmp(file, "./", 2) == 0) file += 2;
    return asprintf(&path, "%s/%s", directory, file) < 0 ? NULL : path;
}

static const char *image_unit_directory(Dwarf_Die *unit) {
    Dwarf_Attribute attribute;
    return dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute));
}

/* Where an inlined function was called: that is the place in the frame around it. */
static void image_call_site(Dwarf_Die *unit, Dwarf_Die *inlined, struct image_frame *caller) {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &value) == 0)
        caller->line = (int)value;
    Dwarf_Files *files = NULL;
    size_t count = 0;
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &value) == 0 &&
        dwarf_getsrcfiles(unit, &files, &count) == 0 && value < count)
        caller->file =
            image_source_path(dwarf_filesrc(files, value, NULL, NULL), image_unit_directory(unit));
}

/*
 * The chain of scopes around an address, from the innermost inlined function out to the function
 * proper.
 */
static size_t image_scopes(Dwarf_Die *unit, Dwarf_Addr address,
                           struct image_frame frames[IMAGE_FRAMES_MAX]) {
    Dwarf_Die *scopes = NULL, *chain = NULL;
    int count = dwarf_getscopes(unit, address, &scopes);
    if (count <= 0) return 0;
    /*
     * dwarf_getscopes follows an inlined function to where it was written; the chain wanted is
     * where it was put.
     */
    int depth = dwarf_getscopes_die(&scopes[0], &chain);
    size_t n = 0;
    for (int i = 0; i < depth && n < IMAGE_FRAMES_MAX; i++) {
        int tag = dwarf_tag(&chain[i]);
        if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram) continue;
        frames[n++].function = image_function_name(&chain[i]);
        if (tag == DW_TAG_subprogram) break;
        if (n < IMAGE_FRAMES_MAX) image_call_site(unit, &chain[i], &frames[n]);
    }
    free(scopes);
    free(chain);
    return n;
}

static size_t image_lookup_dwarf(struct image *image, GElf_Addr pc,
                                 struct image_frame frames[IMAGE_FRAMES_MAX]) {
    Dwarf_Addr bias = 0;
    Dwarf_Die *unit = dwfl_module_addrdie(image->module, pc, &bias);
    if (!unit) return 0;
    size_t n = image_scopes(unit, pc - bias, frames);
    Dwfl_Line *line = dwfl_module_getsrc(image->module, pc);
    if (line) {
        int number = 0;
        const char *file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
        frames[0].file = image_source_path(file, image_unit_directory(unit));
        frames[0].line = number;
        if (n == 0) n = 1;
    }
    for (size_t i = 0; i < n; i++)
        frames[i].language = image_language(unit);
    return n;
}

/*
 * A symbol without a size may stand anywhere before the address: it is believed only when it starts
 * right there.
 */
static char *image_lookup_symbol(struct image *image, GElf_Addr pc) {
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char *name = dwfl_module_addrinfo(image->module, pc, &offset, &symbol, NULL, NULL, NULL);
    if (!name || !name[0]) return NULL;
    if (symbol.st_size ? offset >= symbol.st_size : offset > 16) return NULL;
    return demangle_symbol(name);
}

size_t image_lookup(struct image *image, uint64_t address,
                    struct image_frame frames[IMAGE_FRAMES_MAX]) {
    memset(frames, 0, IMAGE_FRAMES_MAX * sizeof *frames);
    if (!image->module) return 0;
    size_t go = image->go ? go_table_lookup(image->go, address, frames) : 0;
    if (go) return go;
    GElf_Addr pc = address + image->bias, low = 0, high = 0;
    dwfl_module_info(image->module, NULL, &low, &high, NULL, NULL, NULL, NULL);
    if (pc < low || pc >= high) return 0;
    size_t n = image_lookup_dwarf(image, pc, frames);
    if (n == 0 || !frames[n - 1].function) {
        char *name = image_lookup_symbol(image, pc);
        if (name && n == 0) n = 1;
        if (name) frames[n - 1].function = name;
    }
    return n;
}
