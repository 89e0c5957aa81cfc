/* llvm_util.c: the few idioms over the LLVM C API that every part of the translator uses. */
#include "wasm/translate_internal.h"

#include <string.h>

LLVMValueRef tl_i32(const struct tl *tl, uint32_t value)
{
    return LLVMConstInt(tl->t.i32, value, 0);
}

LLVMValueRef tl_i64(const struct tl *tl, uint64_t value)
{
    return LLVMConstInt(tl->t.i64, value, 0);
}

LLVMValueRef tl_offset(const struct tl *tl, LLVMBuilderRef at, LLVMValueRef ptr, uint64_t bytes)
{
    if (bytes == 0) {
        return ptr;
    }
    LLVMValueRef index = tl_i64(tl, bytes);
    return LLVMBuildGEP2(at, tl->t.i8, ptr, &index, 1, "");
}

LLVMValueRef tl_load(const struct tl *tl, LLVMBuilderRef at, LLVMTypeRef type, LLVMValueRef ptr,
                     enum tl_alias alias)
{
    LLVMValueRef load = LLVMBuildLoad2(at, type, ptr, "");
    if (tl->optimise) {
        LLVMSetMetadata(load, tl->md_tbaa, tl->md_alias[alias]);
    }
    return load;
}

LLVMValueRef tl_store(const struct tl *tl, LLVMBuilderRef at, LLVMValueRef value, LLVMValueRef ptr,
                      enum tl_alias alias)
{
    LLVMValueRef store = LLVMBuildStore(at, value, ptr);
    if (tl->optimise) {
        LLVMSetMetadata(store, tl->md_tbaa, tl->md_alias[alias]);
    }
    return store;
}

LLVMValueRef tl_invariant(struct tl *tl, LLVMBuilderRef at, LLVMTypeRef type, LLVMValueRef ptr)
{
    LLVMValueRef load = LLVMBuildLoad2(at, type, ptr, "");
    if (tl->optimise) {
        LLVMSetMetadata(load, tl->md_invariant, tl->md_empty);
    }
    return load;
}

LLVMValueRef tl_intrinsic(struct tl *tl, const char *name, LLVMTypeRef *types, unsigned type_count,
                          LLVMValueRef *args, unsigned arg_count)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    WM_ASSERT(id != 0);
    LLVMValueRef func = LLVMGetIntrinsicDeclaration(tl->llvm, id, types, type_count);
    return LLVMBuildCall2(tl->at, LLVMGlobalGetValueType(func), func, args, arg_count, "");
}

LLVMBasicBlockRef tl_block(struct tl_func *f)
{
    return LLVMAppendBasicBlockInContext(f->tl->context, f->llvm, "");
}

void tl_unlikely(struct tl *tl, LLVMValueRef branch)
{
    if (tl->optimise) {
        LLVMSetMetadata(branch, tl->md_prof, tl->md_unlikely);
    }
}

LLVMAttributeRef tl_enum_attr(struct tl *tl, const char *name, uint64_t value)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    WM_ASSERT(kind != 0);
    return LLVMCreateEnumAttribute(tl->context, kind, value);
}

LLVMAttributeRef tl_text_attr(struct tl *tl, const char *name, const char *value)
{
    return LLVMCreateStringAttribute(tl->context, name, (unsigned)strlen(name), value,
                                     (unsigned)strlen(value));
}
