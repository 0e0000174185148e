/* A plugin for qemu-user 7 to 8 (its plugin interface, version 1): the number of instructions that the program ran, into the file
   named by out=PATH when it ends. The interface is declared here because distributions do not ship its header. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info_t;
enum { ADD_U64 = 0 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t amount);
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void *), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);

#define PUBLIC __attribute__((visibility("default")))
PUBLIC int qemu_plugin_version = 1;
PUBLIC int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int count, char **words);

static uint64_t instructions;
static char path[4096];

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions, qemu_plugin_tb_n_insns(block));
}

static void ended(plugin_id id, void *data) {
    FILE *out = fopen(path, "w");
    (void)id;
    (void)data;
    if (!out) return;
    fprintf(out, "%llu\n", (unsigned long long)instructions);
    fclose(out);
}

int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int count, char **words) {
    (void)info;
    if (count != 1 || strncmp(words[0], "out=", 4) || strlen(words[0]) >= sizeof path) return -1;
    strcpy(path, words[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
