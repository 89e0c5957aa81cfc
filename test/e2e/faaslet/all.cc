// Every header of the SDK is C++, too.
#include <faaslet.h>
#include <faaslet/counter.h>
#include <faaslet/dict.h>
#include <faaslet/list.h>
#include <faaslet/matrix.h>
#include <faaslet/vector.h>

FAASLET_MAIN
{
    ddo_vector vector;
    int32_t rc = ddo_vector_open(&vector, "cxx", DDO_FLOAT, 100, 2);
    rc = rc ? rc : ddo_vector_add(&vector, 1, 2.5);
    rc = rc ? rc : ddo_vector_add(&vector, 2, 0.5);
    float *numbers = ddo_vector_floats(&vector);
    return rc == 0 && numbers[1] == 2.5f && numbers[2] == 0.5f && numbers[0] == 0 ? 0 : 1;
}
