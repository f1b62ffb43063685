/*
 * real.h -- the number that networks compute with.
 *
 * float everywhere but in one test, which compiles the plain engine again with
 * AK_NN_DOUBLE, so that its gradients can be compared with central differences
 * to many digits.
 */
#ifndef AK_CORE_NN_REAL_H
#define AK_CORE_NN_REAL_H

#ifdef AK_NN_DOUBLE
typedef double ak_real;
#else
typedef float ak_real;
#endif

#endif
