/* translate_thunk.c: the two joints between the wasm convention and C (abi.h), one pair for each type.
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

static void entry_thunk(struct tl *tl, uint32_t type_idx)
{
    const struct wasm_functype *type = &tl->module->types[type_idx];
    LLVMValueRef func = thunk(tl, 'e', type_idx, tl->entry_type);
    LLVMValueRef values = LLVMGetParam(func, 2);
    LLVMValueRef args[WASM_PARAMS_MAX + 2];
    unsigned count = 0;
    args[count++] = LLVMGetParam(func, 0);
    for (uint32_t i = 0; i < type->param_count; i++) {
        LLVMTypeRef param = tl_valtype(tl, type->params[i]);
        args[count] = LLVMBuildLoad2(tl->at, param, value_at(tl, values, i), "");
        LLVMSetAlignment(args[count], 8);
        count++;
    }
    if (type->result_count > 1) {
        args[count++] = value_at(tl, values, 1);
    }
    LLVMTypeRef callee = tl_func_type(tl, type_idx);
    LLVMValueRef call = LLVMBuildCall2(tl->at, callee, LLVMGetParam(func, 1), args, count, "");
    LLVMSetInstructionCallConv(call, TL_CALLCONV);
    if (tl->attr_ctx) {
        LLVMAddCallSiteAttribute(call, 1, tl->attr_ctx);
    }
    if (type->result_count) {
        LLVMSetAlignment(LLVMBuildStore(tl->at, call, values), 8);
    }
    LLVMBuildRetVoid(tl->at);
}

static void adapter_thunk(struct tl *tl, uint32_t type_idx)
{
    const struct wasm_functype *type = &tl->module->types[type_idx];
    LLVMValueRef func = thunk(tl, 'a', type_idx, tl_func_type(tl, type_idx));
    LLVMSetFunctionCallConv(func, TL_CALLCONV);
    if (tl->attr_ctx) {
        LLVMAddAttributeAtIndex(func, 1, tl->attr_ctx);
    }
    uint32_t most = type->param_count > type->result_count ? type->param_count : type->result_count;
    LLVMTypeRef array = LLVMArrayType2(tl->t.v2i64, most ? most : 1);
    LLVMValueRef values = LLVMBuildAlloca(tl->at, array, "");
    LLVMSetAlignment(values, 16);
    for (uint32_t i = 0; i < type->param_count; i++) {
        LLVMBuildStore(tl->at, LLVMGetParam(func, i + 1), value_at(tl, values, i));
    }
    LLVMValueRef binding = LLVMGetParam(func, 0);
    LLVMValueRef place =
        tl_offset(tl, tl->at, binding, offsetof(struct wasm_host_binding, call));
    LLVMValueRef code = LLVMBuildLoad2(tl->at, tl->t.ptr, place, "");
    LLVMValueRef args[2] = {binding, values};
    LLVMBuildCall2(tl->at, tl->entry_call_type, code, args, 2, "");
    for (uint32_t i = 1; i < type->result_count; i++) {
        LLVMTypeRef result = tl_valtype(tl, type->results[i]);
        LLVMValueRef value = LLVMBuildLoad2(tl->at, result, value_at(tl, values, i), "");
        LLVMValueRef more = LLVMGetParam(func, type->param_count + 1);
        LLVMBuildStore(tl->at, value, value_at(tl, more, i - 1));
    }
    if (type->result_count) {
        LLVMTypeRef result = tl_valtype(tl, type->results[0]);
        LLVMBuildRet(tl->at, LLVMBuildLoad2(tl->at, result, values, ""));
    } else {
        LLVMBuildRetVoid(tl->at);
    }
}

void tl_thunks(struct tl *tl, uint32_t type_idx)
{
    entry_thunk(tl, type_idx);
    adapter_thunk(tl, type_idx);
}
