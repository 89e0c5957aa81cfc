/* translate_thunk.c: the two joints between the wasm convention and C (abi.h), one pair for each
 * type.
 *
 *     e<T>(ctx, code, values)      from C into wasm: arguments out of `values`, results into it
 *     a<T>(binding, P0..., more)   from wasm into C: the other way round, through binding->call
 *
 * Both keep to the native stack; the entry thunk's `more_results` is the values array itself, which
 * is free once the arguments have been loaded. */
#include "wasm/translate_internal.h"

#include <stddef.h>
#include <stdio.h>

static LLVMValueRef value_at(struct tl *tl, LLVMValueRef values, uint32_t idx)
{
    return tl_offset(tl, tl->at, values, sizeof(union wasm_value) * (uint64_t)idx);
}

static LLVMValueRef thunk(struct tl *tl, char letter, uint32_t type_idx, LLVMTypeRef type)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%c%u", letter, type_idx);
    LLVMValueRef func = LLVMAddFunction(tl->llvm, name, type);
    tl_decorate(tl, func);
    LLVMPositionBuilderAtEnd(tl->at, LLVMAppendBasicBlockInContext(tl->context, func, ""));
    LLVMSetCurrentDebugLocation2(tl->at, NULL);
    return func;
}

/* An array of wasm values in the thunk's frame. */
static LLVMValueRef value_array(struct tl *tl, uint32_t count)
{
    LLVMTypeRef type = LLVMArrayType2(tl->t.v2i64, count ? count : 1);
    LLVMValueRef values = LLVMBuildAlloca(tl->at, type, "");
    LLVMSetAlignment(values, 16);
    return values;
}

static void entry_thunk(struct tl *tl, uint32_t type_idx, const struct tl_type *places)
{
    const struct wasm_functype *type = &tl->module->types[type_idx];
    LLVMValueRef func = thunk(tl, 'e', type_idx, tl->entry_type);
    LLVMValueRef values = LLVMGetParam(func, 2);
    LLVMValueRef args[1 + 5 + 8 + 2];
    args[0] = LLVMGetParam(func, 0);
    unsigned count = 1 + places->register_count;
    if (places->memory_count) {
        args[count++] = value_array(tl, places->memory_count);
    }
    for (uint32_t i = 0; i < type->param_count; i++) {
        LLVMTypeRef param = tl_valtype(tl, type->params[i]);
        LLVMValueRef value = LLVMBuildLoad2(tl->at, param, value_at(tl, values, i), "");
        LLVMSetAlignment(value, 8);
        if (places->places[i] < TL_IN_MEMORY) {
            args[places->places[i]] = value;
        } else {
            LLVMValueRef more = args[1 + places->register_count];
            LLVMBuildStore(tl->at, value, value_at(tl, more, places->places[i] - TL_IN_MEMORY));
        }
    }
    if (type->result_count > 1) {
        args[count++] = value_at(tl, values, 1);
    }
    LLVMValueRef call =
        LLVMBuildCall2(tl->at, places->llvm, LLVMGetParam(func, 1), args, count, "");
    if (type->result_count) {
        LLVMSetAlignment(LLVMBuildStore(tl->at, call, values), 8);
    }
    LLVMBuildRetVoid(tl->at);
}

static void adapter_thunk(struct tl *tl, uint32_t type_idx, const struct tl_type *places)
{
    const struct wasm_functype *type = &tl->module->types[type_idx];
    LLVMValueRef func = thunk(tl, 'a', type_idx, places->llvm);
    uint32_t most = type->param_count > type->result_count ? type->param_count : type->result_count;
    LLVMValueRef values = value_array(tl, most);
    for (uint32_t i = 0; i < type->param_count; i++) {
        LLVMValueRef value;
        if (places->places[i] < TL_IN_MEMORY) {
            value = LLVMGetParam(func, places->places[i]);
        } else {
            LLVMValueRef more = LLVMGetParam(func, 1 + places->register_count);
            LLVMValueRef place = value_at(tl, more, places->places[i] - TL_IN_MEMORY);
            value = LLVMBuildLoad2(tl->at, tl_valtype(tl, type->params[i]), place, "");
            LLVMSetAlignment(value, 8);
        }
        LLVMSetAlignment(LLVMBuildStore(tl->at, value, value_at(tl, values, i)), 8);
    }
    LLVMValueRef binding = LLVMGetParam(func, 0);
    LLVMValueRef place = tl_offset(tl, tl->at, binding, offsetof(struct wasm_host_binding, call));
    LLVMValueRef code = LLVMBuildLoad2(tl->at, tl->t.ptr, place, "");
    LLVMValueRef args[2] = {binding, values};
    LLVMBuildCall2(tl->at, tl->entry_call_type, code, args, 2, "");
    for (uint32_t i = 1; i < type->result_count; i++) {
        LLVMTypeRef result = tl_valtype(tl, type->results[i]);
        LLVMValueRef value = LLVMBuildLoad2(tl->at, result, value_at(tl, values, i), "");
        LLVMValueRef more = LLVMGetParam(func, LLVMCountParams(func) - 1);
        LLVMSetAlignment(LLVMBuildStore(tl->at, value, value_at(tl, more, i - 1)), 8);
    }
    if (type->result_count) {
        LLVMTypeRef result = tl_valtype(tl, type->results[0]);
        LLVMBuildRet(tl->at, LLVMBuildLoad2(tl->at, result, values, ""));
    } else {
        LLVMBuildRetVoid(tl->at);
    }
}

int tl_thunks(struct tl *tl, uint32_t type_idx)
{
    const struct tl_type *places = tl_type(tl, type_idx);
    if (!places) {
        return -ENOMEM;
    }
    entry_thunk(tl, type_idx, places);
    adapter_thunk(tl, type_idx, places);
    return 0;
}
