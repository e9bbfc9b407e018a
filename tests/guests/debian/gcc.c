#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tree { struct tree *left, *right; uint32_t key; };

static struct tree *insert(struct tree *tree, uint32_t key)
{
    if (!tree) {
        tree = calloc(1, sizeof *tree);
        tree->key = key;
    } else if (key < tree->key) {
        tree->left = insert(tree->left, key);
    } else if (key > tree->key) {
        tree->right = insert(tree->right, key);
    }
    return tree;
}

static uint64_t walk(const struct tree *tree, uint64_t hash)
{
    if (!tree)
        return hash;
    hash = walk(tree->left, hash);
    hash = (hash ^ tree->key) * 0x100000001b3;
    return walk(tree->right, hash);
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static long ackermann(long m, long n)
{
    return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

int main(void)
{
    struct tree *tree = NULL;
    uint32_t key = 1;
    for (int i = 0; i < 3000; i++)
        tree = insert(tree, key = key * 1664525 + 1013904223);
    printf("tree %016lx\n", walk(tree, 0xcbf29ce484222325));
    double values[500];
    for (int i = 0; i < 500; i++)
        values[i] = (i * 7919 % 503) / 8.0;
    qsort(values, 500, sizeof *values, compare);
    printf("sorted %.3f %.3f %.3f\n", values[0], values[250], values[499]);
    printf("root %.17g\n", sqrt(2.0));
    printf("ackermann %ld\n", ackermann(2, 300));
    char text[64];
    snprintf(text, sizeof text, "%s-%05d-%x-%+.2e", "text", 42, 0xbeef, -12345.678);
    printf("text %s %zu\n", text, strlen(text));
    __int128 product = (__int128)0x123456789abcdef * 0xfedcba987654321;
    printf("wide %016lx%016lx\n", (uint64_t)(product >> 64), (uint64_t)product);
    return 0;
}
