/*
 * Calls of kernels that were checked before. Written for rowfold; no machine flag is needed to compile it.
 *
 * A function of CPython's METH_FASTCALL | METH_KEYWORDS kind, with no header of Python or NumPy: the few declarations
 * of their stable interfaces that it needs are written out. It compares a call with recipes, each a call that passed
 * every check, runs the loop of the one that fits, and hands everything else to the Python function behind it.
 */
#include <stdint.h>
#include <string.h>

typedef struct { intptr_t references; void *type; } Object;

/* The head of every dtype, and of every array of NumPy's. */
typedef struct { Object head; void *scalar; char kind, code, order, flags; int number; } Dtype;
typedef struct { Object head; char *data; int rank; intptr_t *shape; intptr_t *strides; Object *base; Object *dtype; int flags; } Array;
enum { CONTIGUOUS = 0x1, ALIGNED = 0x100, WRITEABLE = 0x400 };

extern Object *PyTuple_GetItem(Object *tuple, intptr_t place);
extern intptr_t PyTuple_Size(Object *tuple);
extern Object *PyTuple_New(intptr_t size);
extern int PyTuple_SetItem(Object *tuple, intptr_t place, Object *item);
extern double PyFloat_AsDouble(Object *number);
extern int PyContextVar_Get(Object *variable, Object *otherwise, Object **value);
extern void PyErr_Clear(void);
extern Object *PyDict_New(void);
extern int PyDict_SetItem(Object *dict, Object *key, Object *item);
extern Object *PyObject_Call(Object *callable, Object *tuple, Object *dict);
extern void *PyEval_SaveThread(void);
extern void PyEval_RestoreThread(void *state);
extern void Py_IncRef(Object *object);
extern void Py_DecRef(Object *object);

typedef void (*Loop)(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
typedef Object *(*New)(void *type, Object *dtype, int rank, const intptr_t *shape, const intptr_t *strides, void *data, int flags, Object *like);
typedef Object *(*Return)(Object *array);

enum { MOST_RANK = 6, MOST_VALUES = 8, MOST_OUTPUTS = 4, MOST_OPERANDS = 16, MOST_STEPS = 32, MOST_RECIPES = 16 };
enum { ARRAY, SAME, SETTING }; /* what a value of a call has to be */

/* All fields are 64 bits wide, in the order in which quick.py writes them. */
typedef struct { int64_t dtype, rank, shape[MOST_RANK], bytes; } Kind;
typedef struct {
    int64_t what, name, object; /* SAME: this very object */
    Kind kind;
    int64_t together;           /* whether an output may be the same memory, element by element */
    int64_t is_index, count, length, has_ignored, ignored;
    double low, high;
    int64_t open;               /* low itself is refused */
} Value;
typedef struct {
    int64_t loop, data, values, operands, outputs, many, work;
    int64_t source[MOST_OPERANDS]; /* the value that an input comes from; -1: a constant */
    double constant[MOST_OPERANDS];
    int64_t dims[4], steps[MOST_STEPS];
    Kind output[MOST_OUTPUTS];
    Value value[MOST_VALUES];
} Recipe;
typedef struct {
    int64_t array_type, float_type, tuple_type, out, options, make, give, recipes;
    int64_t recipe[MOST_RECIPES];
} Table;
/* What was given, without `out`. Positional values have no name. */
typedef struct { Object *value[MOST_VALUES], *name[MOST_VALUES], *out; int values; } Call;

/* One dtype may be several objects: that of an array that was unpickled is its own. */
static int is_dtype(const Object *a, int64_t b)
{
    const Dtype *x = (const Dtype *)(const void *)a, *y = (const Dtype *)(intptr_t)b;
    return x == y || (x->scalar == y->scalar && x->order == y->order);
}

static int is_array(const Table *table, const Kind *kind, const Object *object, int flags)
{
    const Array *a = (const Array *)(const void *)object;
    if ((int64_t)(intptr_t)object->type != table->array_type) return 0;
    if (!is_dtype(a->dtype, kind->dtype) || a->rank != kind->rank || (a->flags & flags) != flags) return 0;
    for (int k = 0; k < a->rank; ++k)
        if (a->shape[k] != kind->shape[k]) return 0;
    return 1;
}

static int in_range(const Value *value, const Array *a)
{
    const int64_t *at = (const int64_t *)(const void *)a->data;
    int64_t bad = 0;
    for (int64_t k = 0; k < value->count; ++k) {
        const int64_t outside = (uint64_t)at[k] >= (uint64_t)value->length;
        bad |= outside & !(value->has_ignored && at[k] == value->ignored);
    }
    return !bad;
}

static int is_setting(const Table *table, const Value *value, Object *object, double *number)
{
    if ((int64_t)(intptr_t)object->type != table->float_type) return 0;
    *number = PyFloat_AsDouble(object);
    return (value->open ? *number > value->low : *number >= value->low) && *number <= value->high;
}

/* Whether the call has the recipe's values; the numbers among them are told. */
static int alike(const Table *table, const Recipe *r, const Call *call, double *numbers)
{
    for (int k = 0; k < r->values; ++k) {
        const Value *v = &r->value[k];
        if ((int64_t)(intptr_t)call->name[k] != v->name) return 0;
        if (v->what == SAME ? (int64_t)(intptr_t)call->value[k] != v->object
            : v->what == SETTING ? !is_setting(table, v, call->value[k], &numbers[k])
            : !is_array(table, &v->kind, call->value[k], CONTIGUOUS | ALIGNED))
            return 0;
    }
    for (int k = 0; k < r->values; ++k)
        if (r->value[k].is_index && !in_range(&r->value[k], (const Array *)(const void *)call->value[k])) return 0;
    return 1;
}

static int meet(const char *a, int64_t a_bytes, const char *b, int64_t b_bytes)
{
    return (uintptr_t)a < (uintptr_t)b + (uintptr_t)b_bytes && (uintptr_t)b < (uintptr_t)a + (uintptr_t)a_bytes;
}

/* Whether the outputs are what they must be, and lie apart from the inputs or exactly on one that allows it. */
static int may_write(const Table *table, const Recipe *r, const Call *call, Object *const *outputs)
{
    for (int o = 0; o < r->outputs; ++o) {
        const Array *y = (const Array *)(const void *)outputs[o];
        if (!is_array(table, &r->output[o], outputs[o], CONTIGUOUS | ALIGNED | WRITEABLE)) return 0;
        for (int p = 0; p < o; ++p)
            if (meet(y->data, r->output[o].bytes, ((const Array *)(const void *)outputs[p])->data, r->output[p].bytes)) return 0;
        for (int k = 0; k < r->values; ++k) {
            const Value *v = &r->value[k];
            const Array *x = (const Array *)(const void *)call->value[k];
            if (v->what == ARRAY && meet(y->data, r->output[o].bytes, x->data, v->kind.bytes))
                if (x->data != y->data || !(v->together >> o & 1)) return 0;
        }
    }
    return 1;
}

static void run(const Recipe *r, const Call *call, Object *const *outputs, const double *numbers)
{
    char *place[MOST_OPERANDS];
    double constant[MOST_OPERANDS];
    intptr_t dims[4], steps[MOST_STEPS];
    const Loop loop = (Loop)(uintptr_t)r->loop;
    void *data = (void *)(uintptr_t)r->data;
    const int inputs = (int)(r->operands - r->outputs);
    for (int k = 0; k < inputs; ++k) {
        const int64_t source = r->source[k];
        const int number = source < 0 || r->value[source].what != ARRAY;
        constant[k] = source < 0 ? r->constant[k] : numbers[source];
        place[k] = number ? (char *)&constant[k] : ((const Array *)(const void *)call->value[source])->data;
    }
    for (int k = inputs; k < r->operands; ++k) place[k] = ((const Array *)(const void *)outputs[k - inputs])->data;
    memcpy(dims, r->dims, sizeof dims);
    memcpy(steps, r->steps, sizeof steps);
    if (r->work < 4096) {
        loop(place, dims, steps, data);
        return;
    }
    void *state = PyEval_SaveThread(); /* from here on the recipe may be replaced: nothing of it is read */
    loop(place, dims, steps, data);
    PyEval_RestoreThread(state);
}

/* A tuple of these, whose references are handed over. */
static Object *packed(Object **outputs, int count)
{
    Object *all = PyTuple_New(count);
    for (int o = 0; o < count; ++o)
        if (all)
            PyTuple_SetItem(all, o, outputs[o]);
        else
            Py_DecRef(outputs[o]);
    return all;
}

static Object *into_new(const Table *table, const Recipe *r, const Call *call, const double *numbers)
{
    Object *outputs[MOST_OUTPUTS] = { 0 };
    const int count = (int)r->outputs, alone = count == 1 && !r->many;
    for (int o = 0; o < count; ++o) {
        const Kind *kind = &r->output[o];
        intptr_t shape[MOST_RANK];
        for (int k = 0; k < MOST_RANK; ++k) shape[k] = (intptr_t)kind->shape[k];
        Py_IncRef((Object *)(intptr_t)kind->dtype); /* which the new array keeps */
        outputs[o] = ((New)(uintptr_t)table->make)((void *)(intptr_t)table->array_type, (Object *)(intptr_t)kind->dtype, (int)kind->rank, shape, 0, 0, 0, 0);
        if (!outputs[o]) {
            while (o--) Py_DecRef(outputs[o]);
            return 0;
        }
    }
    run(r, call, outputs, numbers);
    for (int o = 0; o < count; ++o) outputs[o] = ((Return)(uintptr_t)table->give)(outputs[o]);
    return alone ? outputs[0] : packed(outputs, count);
}

/* The result of a call that fits this recipe; `*fits` stays 0 if it does not. */
static Object *by(const Table *table, const Recipe *r, const Call *call, int *fits)
{
    double numbers[MOST_VALUES] = { 0 };
    Object *outputs[MOST_OUTPUTS] = { 0 };
    if (r->values != call->values || !alike(table, r, call, numbers)) return 0;
    if (!call->out) {
        *fits = 1;
        return into_new(table, r, call, numbers);
    }
    Object *out = call->out;
    const int several = (int64_t)(intptr_t)out->type == table->tuple_type;
    if (several ? PyTuple_Size(out) != r->outputs : r->outputs > 1 || r->many) return 0;
    for (int o = 0; o < r->outputs; ++o) outputs[o] = several ? PyTuple_GetItem(out, o) : out;
    if (!may_write(table, r, call, outputs)) return 0;
    *fits = 1;
    if (r->outputs == 1 && !r->many) out = outputs[0];
    Py_IncRef(out);
    run(r, call, outputs, numbers);
    return out;
}

/* Sorts what was given; 0 if there is more than a recipe holds. */
static int sorted(const Table *table, Object *const *args, intptr_t count, Object *names, Call *call)
{
    const intptr_t all = count + (names ? PyTuple_Size(names) : 0);
    call->out = 0;
    call->values = 0;
    if (all > MOST_VALUES) return 0;
    for (intptr_t k = 0; k < all; ++k) {
        Object *name = k < count ? 0 : PyTuple_GetItem(names, k - count);
        if (name && (int64_t)(intptr_t)name == table->out) {
            call->out = args[k];
            continue;
        }
        call->name[call->values] = name;
        call->value[call->values++] = args[k];
    }
    return 1;
}

static int usual(const Table *table, Object *variable)
{
    Object *options;
    if (PyContextVar_Get(variable, 0, &options)) {
        PyErr_Clear();
        return 0;
    }
    Py_DecRef(options);
    return (int64_t)(intptr_t)options == table->options;
}

/* The same call of the Python function behind. */
static Object *behind(Object *function, Object *const *args, intptr_t count, Object *names)
{
    Object *tuple = PyTuple_New(count), *dict = names ? PyDict_New() : 0, *result = 0;
    int failed = !tuple || (names && !dict);
    for (intptr_t k = 0; k < count && !failed; ++k) {
        Py_IncRef(args[k]);
        PyTuple_SetItem(tuple, k, args[k]);
    }
    for (intptr_t k = 0; names && k < PyTuple_Size(names) && !failed; ++k)
        failed = PyDict_SetItem(dict, PyTuple_GetItem(names, k), args[count + k]);
    if (!failed) result = PyObject_Call(function, tuple, dict);
    Py_DecRef(tuple);
    Py_DecRef(dict);
    return result;
}

__attribute__((visibility("default"))) Object *rowfold_quick_call(Object *self, Object *const *args, intptr_t count, Object *names);

/* `self` is a tuple: the table in a NumPy array, the function behind, the variable that holds options. */
Object *rowfold_quick_call(Object *self, Object *const *args, intptr_t count, Object *names)
{
    const Table *table = (const Table *)(const void *)((const Array *)(const void *)PyTuple_GetItem(self, 0))->data;
    Call call;
    if (usual(table, PyTuple_GetItem(self, 2)) && sorted(table, args, count, names, &call))
        for (int k = 0; k < table->recipes; ++k) {
            int fits = 0;
            Object *result = by(table, (const Recipe *)(intptr_t)table->recipe[k], &call, &fits);
            if (fits) return result;
        }
    return behind(PyTuple_GetItem(self, 1), args, count, names);
}
