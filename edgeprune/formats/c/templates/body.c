${constants}

size_t ${model}_arena_bytes(void) { return ${arena_bytes}; }

int ${model}_run(${signature}) {
    if (${checks}) {
        return 1;
    }
    unsigned char *base = (unsigned char *)arena;
    while ((uintptr_t)base % ${alignment}) {
        base++;
    }
    ${use_arena}
${steps}
    return 0;
}
