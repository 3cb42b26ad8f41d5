/* SPDX-License-Identifier: MIT
 * Stands in for libFuzzer where there is no clang: feeds a target every file of the directories (or
 * every file) it is given. Each input lies in a heap block of its exact size, so that reading one
 * byte too far traps under AddressSanitizer. A directory that does not exist counts as empty. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns 1 for a replayed file, 0 for one that is none, -1 when it could not be read. */
static int replay_file(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    size_t size = (size_t)status.st_size;
    uint8_t *input = malloc(size > 0 ? size : 1);
    int result = input != NULL && fread(input, 1, size, file) == size ? 1 : -1;
    if (result == 1)
        LLVMFuzzerTestOneInput(input, size);
    else
        fprintf(stderr, "cannot read %s\n", path);
    free(input);
    fclose(file);
    return result;
}

static int replay_directory(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return errno == ENOENT ? 0 : replay_file(path);
    int count = 0;
    for (struct dirent *entry; count >= 0 && (entry = readdir(directory)) != NULL;) {
        char name[4096];
        int length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        int result = length > 0 && (size_t)length < sizeof name ? replay_file(name) : -1;
        count = result < 0 ? result : count + result;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = replay_directory(argv[i]);
        if (count < 0)
            return EXIT_FAILURE;
        total += count;
    }
    printf("replayed %d inputs\n", total);
    return EXIT_SUCCESS;
}
